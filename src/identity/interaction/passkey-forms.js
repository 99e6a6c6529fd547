// Runs in the browser: passkeys need a script. Forms that the browser does not support stay hidden.
for (const form of document.querySelectorAll('form[data-passkey]')) {
  const { passkey: verb, challenge, failed } = form.dataset;
  const parse = { get: 'parseRequestOptionsFromJSON', create: 'parseCreationOptionsFromJSON' }[verb];
  const alarm = form.querySelector('[role=alert]');
  const button = form.querySelector('button');

  const fail = (text) => {
    button.disabled = false;
    alarm.hidden = false;
    alarm.textContent = text;
  };

  const ask = async () => {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(challenge, { method: 'POST', body });
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    const answer = isJson ? await response.json() : {};
    if (!response.ok || !isJson) return fail(answer.problem ?? failed);
    const publicKey = PublicKeyCredential[parse](answer);
    const credential = await navigator.credentials[verb]({ publicKey });
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    // The password was already checked, so it is not sent a second time.
    if (form.elements.password) form.elements.password.value = '';
    form.submit();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    button.disabled = true;
    alarm.hidden = true;
    ask().catch(() => fail(failed));
  });

  if (typeof globalThis.PublicKeyCredential?.[parse] === 'function') {
    form.hidden = false;
    for (const note of document.querySelectorAll('[data-without-passkeys]')) note.hidden = true;
  }
}
