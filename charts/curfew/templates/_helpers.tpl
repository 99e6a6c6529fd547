{{/* Names and labels */}}
{{- define "curfew.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Argument: a list of the root and the component. */}}
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

{{/* Argument: a list of the root and the program. */}}
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

{{/* The owner's Redis user: its own, or else the sidecars' user. */}}
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

{{/* The Redis settings of a program. Argument: a list of the root, the user name, and whether there is a password. */}}
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

{{/* The configured issuers, and identity's own. */}}
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

{{/* The configuration of injected authorizers. */}}
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

{{/* Namespaces whose pods are never changed. */}}
{{- define "curfew.excludedNamespaces" -}}
{{- concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.injector.excludeNamespaces | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* The Secret with the webhook's certificate, which is created once and kept as long as the Secret exists. */}}
{{- define "curfew.tlsSecret" -}}
{{- .Values.injector.tls.existingSecret | default (printf "%s-injector-tls" (include "curfew.fullname" .)) -}}
{{- end -}}

{{/* Rules that the schema can't express. */}}
{{- define "curfew.validate" -}}
{{- $problems := list -}}
{{- with .Values -}}
{{- if and .injector.enabled (not .issuers) (not .identity.enabled) -}}
{{- $problems = append $problems "issuers: name at least one, or set identity.enabled" -}}
{{- end -}}
{{- range .issuers -}}
{{- if and .secret (not $.Values.injector.allowSharedSecrets) -}}
{{- $problems = append $problems (printf "issuers: %s has a shared secret. Every pod would contain it, and anyone who reads it can forge tokens; set injector.allowSharedSecrets to accept that" .issuer) -}}
{{- end -}}
{{- end -}}
{{- if and .revocation.enabled (not (include "curfew.hasRedis" $)) -}}
{{- $problems = append $problems "redis.url: is required (or redis.sentinels, or redis.bundled.enabled for trials, or revocation.enabled=false to only validate tokens)" -}}
{{- end -}}
{{- if contains "@" .redis.url -}}
{{- $problems = append $problems "redis.url: must not contain credentials, because they would be readable in every pod; use redis.username and redis.password or redis.existingSecret" -}}
{{- end -}}
{{- if and .redis.sentinels (not .redis.name) -}}
{{- $problems = append $problems "redis.name: is required with redis.sentinels; it names the master group that they monitor" -}}
{{- end -}}
{{- if and .identity.enabled (not .identity.issuer) -}}
{{- $problems = append $problems "identity.issuer: is required; it is the public URL of identity" -}}
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
{{- $problems = append $problems (printf "redis.url: is required by %s" $program) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .relay.enabled .identity.enabled -}}
{{- $problems = append $problems "relay.enabled: identity owns the log already; a log has one owner. Give it the relay's receivers as identity.receivers" -}}
{{- end -}}
{{- if and .relay.enabled (not .issuers) -}}
{{- $problems = append $problems "issuers: the relay needs the issuers of the providers that send it events" -}}
{{- end -}}
{{- if and .injector.tls.existingSecret (not .injector.tls.caBundle) (not .injector.certManager.enabled) -}}
{{- $problems = append $problems "injector.tls.caBundle: is required, as PEM, so that the API server trusts the certificate in injector.tls.existingSecret" -}}
{{- end -}}
{{- if and .injector.enabled (not .injector.namespaces) (include "curfew.readerSecret" $) (not .redis.existingSecret) -}}
{{- $problems = append $problems "injector.namespaces: name the namespaces that you will label, so that their sidecars get the Secret curfew-redis" -}}
{{- end -}}
{{- if and .injector.enabled (eq .injector.capture "proxy") (not .networkPolicy.managedExternally) -}}
{{- if not .networkPolicy.enabled -}}
{{- $problems = append $problems "networkPolicy.enabled: injector.capture=proxy leaves the application's own ports open, and only a NetworkPolicy closes them; set networkPolicy.managedExternally if your own policies do" -}}
{{- else if not .injector.namespaces -}}
{{- $problems = append $problems "injector.namespaces: name the namespaces that you will label; with injector.capture=proxy, pods are accepted only where the policy curfew-proxied-pods closes the application's own ports" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n  - %s" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{/* Argument: the values of an owner. */}}
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

{{/* Whether a job creates the log: no program of the release owns it, and some issuer's tokens can be revoked. */}}
{{- define "curfew.createsLog" -}}
{{- if and .Values.revocation.enabled .Values.revocation.createLog (not (or .Values.identity.enabled .Values.relay.enabled)) -}}
{{- range .Values.issuers -}}
{{- if ne (.revocation | default "required") "none" -}}true{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The longest lifetime of any issuer's tokens, which determines the retention of the log. */}}
{{- define "curfew.longestLifetimeSeconds" -}}
{{- $longest := 1 -}}
{{- range .Values.issuers -}}
{{- $longest = max $longest (include "curfew.seconds" (.maxTokenLifetime | default "5m")) -}}
{{- end -}}
{{- $longest -}}
{{- end -}}
