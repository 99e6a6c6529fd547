{{/* Names and labels */}}
{{- define "curfew.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Takes a list: the root, the component. */}}
{{- define "curfew.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "curfew.labels" -}}
{{- $root := index . 0 -}}
{{ include "curfew.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Takes a list: the root, the program. */}}
{{- define "curfew.image" -}}
{{- $root := index . 0 -}}
{{- $registry := $root.Values.image.registry | trimSuffix "/" -}}
{{- printf "%scurfew-%s:%s" (ternary "" (printf "%s/" $registry) (empty $registry)) (index . 1) ($root.Values.image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}

{{- define "curfew.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Pod Security, level restricted. */}}
{{- define "curfew.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "curfew.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Redis */}}
{{- define "curfew.redisUrl" -}}
{{- if .Values.redis.bundled.enabled -}}
redis://{{ include "curfew.fullname" . }}-redis.{{ .Release.Namespace }}.svc:6379
{{- else -}}
{{- .Values.redis.url -}}
{{- end -}}
{{- end -}}

{{- define "curfew.hasRedis" -}}
{{- if or .Values.redis.bundled.enabled .Values.redis.url .Values.redis.sentinels -}}true{{- end -}}
{{- end -}}

{{/* Whether the sidecars mount a Secret for Redis. */}}
{{- define "curfew.readerSecret" -}}
{{- with .Values.redis -}}
{{- if .existingSecret -}}{{ .existingSecret }}{{- else if or .password .tls.ca -}}curfew-redis{{- end -}}
{{- end -}}
{{- end -}}

{{- define "curfew.readerHasPassword" -}}
{{- if or .Values.redis.password .Values.redis.existingSecret -}}true{{- end -}}
{{- end -}}

{{/* What the owner logs in with: its own user, or the sidecars' one. */}}
{{- define "curfew.ownerUsername" -}}
{{- with .Values.redis -}}
{{- if or .owner.username .owner.password .owner.existingSecret -}}{{ .owner.username }}{{- else -}}{{ .username }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "curfew.ownerSecret" -}}
{{- $redis := .Values.redis -}}
{{- if $redis.owner.existingSecret -}}{{ $redis.owner.existingSecret }}
{{- else if $redis.owner.password -}}{{ include "curfew.fullname" . }}-redis-owner
{{- else if $redis.existingSecret -}}{{ $redis.existingSecret }}
{{- else if or $redis.password $redis.tls.ca -}}{{ include "curfew.fullname" . }}-redis-owner
{{- end -}}
{{- end -}}

{{- define "curfew.ownerHasPassword" -}}
{{- with .Values.redis -}}
{{- if or .owner.password .owner.existingSecret .password .existingSecret -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Redis in a program's configuration. Takes a list: the root, the user, whether there is a password. */}}
{{- define "curfew.redisConfig" -}}
{{- $root := index . 0 -}}
{{- $username := index . 1 -}}
{{- $redis := $root.Values.redis -}}
{{- if $redis.sentinels }}
sentinels: {{ toJson $redis.sentinels }}
name: {{ $redis.name | quote }}
{{- else }}
url: {{ include "curfew.redisUrl" $root | quote }}
{{- end }}
{{- with $username }}
username: {{ . | quote }}
{{- end }}
{{- if index . 2 }}
password: { file: /etc/curfew/redis/password }
{{- end }}
{{- if $redis.tls.ca }}
tls: { ca: /etc/curfew/redis/ca.crt }
{{- end }}
{{- end -}}

{{/* Issuers: the configured ones and our own. */}}
{{- define "curfew.issuers" -}}
{{- $issuers := .Values.issuers -}}
{{- $own := .Values.identity -}}
{{- $names := list -}}
{{- range $issuers }}{{- $names = append $names .issuer -}}{{- end -}}
{{- if and $own.enabled (not (has $own.issuer $names)) -}}
{{- $jwks := dict "uri" (printf "http://%s-identity.%s.svc:8080/jwks" (include "curfew.fullname" .) .Release.Namespace) "allowHttp" true -}}
{{- $issuers = append $issuers (dict "issuer" $own.issuer "audiences" (keys $own.resources | sortAlpha) "algorithms" (list $own.tokens.algorithm) "sessionClaim" "grant_id" "jwks" $jwks "clockTolerance" .Values.revocation.clockTolerance) -}}
{{- end -}}
{{- toJson $issuers -}}
{{- end -}}

{{/* What injected authorizers get. */}}
{{- define "curfew.authorizerSettings" -}}
issuers: {{ include "curfew.issuers" . }}
{{- if .Values.revocation.enabled }}
revocation:
  redis:
    {{- include "curfew.redisConfig" (list . .Values.redis.username (include "curfew.readerHasPassword" .)) | nindent 4 }}
  log: {{ .Values.revocation.log | quote }}
  maxExposure: {{ .Values.revocation.maxExposure | quote }}
  maxEntries: {{ int .Values.revocation.maxEntries }}
  waitForSync: {{ .Values.revocation.waitForSync | quote }}
{{- end }}
{{- with .Values.injector.authorizer }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Namespaces that are never touched. */}}
{{- define "curfew.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.injector.excludeNamespaces | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* The webhook's certificate: made once, and kept for as long as its Secret is there. */}}
{{- define "curfew.tlsSecret" -}}
{{- .Values.injector.tls.existingSecret | default (printf "%s-injector-tls" (include "curfew.fullname" .)) -}}
{{- end -}}

{{/* What cannot be said in the schema. */}}
{{- define "curfew.validate" -}}
{{- $problems := list -}}
{{- with .Values -}}
{{- if and .injector.enabled (not .issuers) (not .identity.enabled) -}}
{{- $problems = append $problems "issuers: name at least one, or set identity.enabled" -}}
{{- end -}}
{{- range .issuers -}}
{{- if and .secret (not $.Values.injector.allowSharedSecrets) -}}
{{- $problems = append $problems (printf "issuers: %s has a shared secret, which would put what mints tokens into every pod; set injector.allowSharedSecrets to accept that" .issuer) -}}
{{- end -}}
{{- end -}}
{{- if and .revocation.enabled (not (include "curfew.hasRedis" $)) -}}
{{- $problems = append $problems "redis.url: is needed (or redis.sentinels, or redis.bundled.enabled to try it out, or revocation.enabled=false to only validate tokens)" -}}
{{- end -}}
{{- if contains "@" .redis.url -}}
{{- $problems = append $problems "redis.url: must not hold credentials, which would be readable in every pod; use redis.username and redis.password or redis.existingSecret" -}}
{{- end -}}
{{- if and .redis.sentinels (not .redis.name) -}}
{{- $problems = append $problems "redis.name: names the group that the sentinels watch" -}}
{{- end -}}
{{- if and .identity.enabled (not .identity.issuer) -}}
{{- $problems = append $problems "identity.issuer: the public URL of identity" -}}
{{- end -}}
{{- if and .identity.enabled (not .identity.clients) -}}
{{- $problems = append $problems "identity.clients: name at least one client" -}}
{{- end -}}
{{- if and .identity.enabled (not .identity.resources) -}}
{{- $problems = append $problems "identity.resources: name at least one audience, such as {orders: {scopes: [read]}}" -}}
{{- end -}}
{{- range $program := list "identity" "relay" -}}
{{- with index $.Values $program -}}
{{- if and .enabled (not (include "curfew.usesPostgres" .)) (or .autoscaling.enabled (gt (int .replicas) 1)) -}}
{{- $problems = append $problems (printf "%s.replicas: SQLite serves one replica; set %s.database.postgres for more" $program $program) -}}
{{- end -}}
{{- if and .enabled (not (include "curfew.hasRedis" $)) -}}
{{- $problems = append $problems (printf "redis.url: %s needs it" $program) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .relay.enabled .identity.enabled -}}
{{- $problems = append $problems "relay.enabled: identity owns the log already; a log has one owner. Give it the relay's receivers as identity.receivers" -}}
{{- end -}}
{{- if and .relay.enabled (not .issuers) -}}
{{- $problems = append $problems "issuers: the relay needs the providers it speaks for" -}}
{{- end -}}
{{- if and .injector.tls.existingSecret (not .injector.tls.caBundle) (not .injector.certManager.enabled) -}}
{{- $problems = append $problems "injector.tls.caBundle: the API server needs the authority of injector.tls.existingSecret, as PEM" -}}
{{- end -}}
{{- if and .injector.enabled (not .injector.namespaces) (include "curfew.readerSecret" $) (not .redis.existingSecret) -}}
{{- $problems = append $problems "injector.namespaces: name the namespaces that are going to be labelled, so that their sidecars get the Secret curfew-redis" -}}
{{- end -}}
{{- if and .injector.enabled (eq .injector.capture "proxy") (not .networkPolicy.managedExternally) -}}
{{- if not .networkPolicy.enabled -}}
{{- $problems = append $problems "networkPolicy.enabled: injector.capture=proxy leaves the own ports of pods open, and only a NetworkPolicy closes them; set networkPolicy.managedExternally if policies of your own do" -}}
{{- else if not .injector.namespaces -}}
{{- $problems = append $problems "injector.namespaces: name the namespaces that are going to be labelled; with injector.capture=proxy pods are started only where the policy curfew-proxied-pods closes their own ports" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n  - %s" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* Takes the values of an owner. */}}
{{- define "curfew.usesPostgres" -}}
{{- with .database.postgres -}}
{{- if or .url .existingSecret -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* A duration such as 30s, in whole seconds. */}}
{{- define "curfew.seconds" -}}
{{- $count := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $seconds := dict "ms" 0 "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- mul $count (get $seconds $unit) -}}
{{- end -}}

{{/* Whether a job makes the log: where nobody here owns it, and an issuer's tokens can be revoked. */}}
{{- define "curfew.createsLog" -}}
{{- if and .Values.revocation.enabled .Values.revocation.createLog (not (or .Values.identity.enabled .Values.relay.enabled)) -}}
{{- range .Values.issuers -}}
{{- if ne (.revocation | default "required") "none" -}}true{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The longest that a token of an issuer may live; decides how long the log remembers. */}}
{{- define "curfew.longestLifetimeSeconds" -}}
{{- $longest := 1 -}}
{{- range .Values.issuers -}}
{{- $longest = max $longest (include "curfew.seconds" (.maxTokenLifetime | default "5m")) -}}
{{- end -}}
{{- $longest -}}
{{- end -}}
