# Ends a session:  python revoke.py redis://127.0.0.1:6379 publish.lua https://issuer.example SESSION_ID
# It needs the package redis (`pip install redis`). `bin/curfew log script > publish.lua` writes the script.
import json
import sys
from redis import Redis

url, script, issuer, session = sys.argv[1:]
publish = Redis.from_url(url).register_script(open(script).read())
event = {"iss": issuer, "kind": "session", "id": session, "reason": "logout"}
print(publish(keys=["{curfew}:head"], args=[json.dumps(event)]))
