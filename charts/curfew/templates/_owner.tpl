{{/*
The objects of identity and the relay, which both own the log and have a database. Argument: a dict of root, program, port,
config (the program's own settings, as YAML), keys (the location of its encryption key, or nothing).
*/}}
{{- define "curfew.owner" -}}
{{- $root := .root -}}
{{- $program := .program -}}
{{- $owner := index $root.Values $program -}}
{{- $name := printf "%s-%s" (include "curfew.fullname" $root) $program -}}
{{- $labels := include "curfew.labels" (list $root $program) -}}
{{- $selector := include "curfew.selectorLabels" (list $root $program) -}}
{{- $postgres := include "curfew.usesPostgres" $owner -}}
{{- $ownerSecret := include "curfew.ownerSecret" $root -}}
{{- $databaseSecret := $owner.database.postgres.existingSecret | default (printf "%s-database" $name) -}}
{{- $keys := .keys | default dict -}}
{{- $hasKey := or $keys.encryptionKey $keys.existingSecret -}}
{{- $keySecret := $keys.existingSecret | default (printf "%s-key" $name) -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}-config
  labels: {{- $labels | nindent 4 }}
stringData:
  # A Secret, because clients and receivers may have secrets.
  {{ $program }}.yaml: |
    listen: :{{ .port }}
    admin: :9012
    trustedProxyHops: {{ int $owner.trustedProxyHops }}
    {{- if $postgres }}
    database: { postgres: { url: { file: /etc/curfew/database/url }, poolSize: {{ int $owner.database.postgres.poolSize }} } }
    {{- else }}
    database: { sqlite: /var/lib/curfew/{{ $program }}.db }
    {{- end }}
    redis:
      {{- include "curfew.redisConfig" (list $root (include "curfew.ownerUsername" $root) (include "curfew.ownerHasPassword" $root)) | nindent 6 }}
    revocation:
      log: {{ $root.Values.revocation.log | quote }}
      clockTolerance: {{ $root.Values.revocation.clockTolerance | quote }}
    {{- .config | nindent 4 }}
    log: { level: {{ $owner.log.level }} }
{{- if and $postgres (not $owner.database.postgres.existingSecret) }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $databaseSecret }}
  labels: {{- $labels | nindent 4 }}
stringData:
  url: {{ $owner.database.postgres.url | quote }}
{{- end }}
{{- if $keys.encryptionKey }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ $keySecret }}
  labels: {{- $labels | nindent 4 }}
stringData:
  encryption-key: {{ $keys.encryptionKey | quote }}
{{- end }}
{{- if and (not $postgres) $owner.database.sqlite.persistence.enabled }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    # Accounts and sessions are kept after an uninstall. To delete them, delete the claim.
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with $owner.database.sqlite.persistence.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests: { storage: {{ $owner.database.sqlite.persistence.size }} }
{{- end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  selector: {{- $selector | nindent 4 }}
  ports:
    - { name: http, port: {{ .port }}, targetPort: http }
    - { name: metrics, port: 9012, targetPort: metrics }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  {{- if not $owner.autoscaling.enabled }}
  replicas: {{ int $owner.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  strategy:
    {{- if $postgres }}
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
    {{- else }}
    # Only one process at a time may use the database file.
    type: Recreate
    {{- end }}
  template:
    metadata:
      labels: {{- $labels | nindent 8 }}
      annotations:
        curfew/config-hash: {{ cat (toJson $owner) (toJson $root.Values.redis) (toJson $root.Values.revocation) .config | sha256sum | trunc 16 | quote }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      {{- include "curfew.pullSecrets" $root | nindent 6 }}
      securityContext: {{- include "curfew.podSecurity" $root | nindent 8 }}
      terminationGracePeriodSeconds: 30
      {{- with $owner.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $owner.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $owner.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ $program }}
          image: {{ include "curfew.image" (list $root $program) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [--config, /etc/curfew/config/{{ $program }}.yaml]
          ports:
            - { name: http, containerPort: {{ .port }} }
            - { name: metrics, containerPort: 9012 }
          startupProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 1, failureThreshold: 120 }
          readinessProbe: { httpGet: { path: /readyz, port: metrics }, periodSeconds: 2, timeoutSeconds: 2 }
          livenessProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 10, timeoutSeconds: 5 }
          # Long enough for kube-proxy and ingresses to stop sending requests to this pod.
          lifecycle: { preStop: { exec: { command: [/nodejs/bin/node, -e, "setTimeout(() => {}, 5000)"] } } }
          resources: {{- toYaml $owner.podResources | nindent 12 }}
          securityContext: {{- include "curfew.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - { name: config, mountPath: /etc/curfew/config, readOnly: true }
            {{- if $ownerSecret }}
            - { name: redis, mountPath: /etc/curfew/redis, readOnly: true }
            {{- end }}
            {{- if $postgres }}
            - { name: database, mountPath: /etc/curfew/database, readOnly: true }
            {{- else }}
            - { name: data, mountPath: /var/lib/curfew }
            {{- end }}
            {{- if $hasKey }}
            - { name: key, mountPath: /etc/curfew/key, readOnly: true }
            {{- end }}
      volumes:
        - { name: config, secret: { secretName: {{ $name }}-config, defaultMode: 0440 } }
        {{- if $ownerSecret }}
        - { name: redis, secret: { secretName: {{ $ownerSecret }}, defaultMode: 0440 } }
        {{- end }}
        {{- if $postgres }}
        - { name: database, secret: { secretName: {{ $databaseSecret }}, defaultMode: 0440 } }
        {{- else if $owner.database.sqlite.persistence.enabled }}
        - { name: data, persistentVolumeClaim: { claimName: {{ $name }} } }
        {{- else }}
        - { name: data, emptyDir: {} }
        {{- end }}
        {{- if $hasKey }}
        - { name: key, secret: { secretName: {{ $keySecret }}, defaultMode: 0440 } }
        {{- end }}
{{- if or $owner.autoscaling.enabled (gt (int $owner.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  minAvailable: 1
  selector:
    matchLabels: {{- $selector | nindent 6 }}
{{- end }}
{{- if $owner.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ int $owner.autoscaling.minReplicas }}
  maxReplicas: {{ int $owner.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ int $owner.autoscaling.targetCPUUtilizationPercentage }} }
{{- end }}
{{- with $owner.ingress }}
{{- if .enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .tlsSecret }}
  tls:
    - { hosts: [{{ $owner.ingress.host | quote }}], secretName: {{ . }} }
  {{- end }}
  rules:
    - {{- with .host }}
      host: {{ . | quote }}
      {{- end }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: { service: { name: {{ $name }}, port: { name: http } } }
{{- end }}
{{- end }}
{{- $port := .port }}
{{- with $owner.httpRoute }}
{{- if .enabled }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ $name }}
  labels: {{- $labels | nindent 4 }}
spec:
  parentRefs: {{- toYaml .parentRefs | nindent 4 }}
  {{- with .hostnames }}
  hostnames: {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - backendRefs:
        - { name: {{ $name }}, port: {{ $port }} }
{{- end }}
{{- end }}
{{- end -}}

{{- define "curfew.identityConfig" -}}
{{- with .Values.identity -}}
issuer: {{ .issuer | quote }}
tokens: {{ toJson .tokens }}
clients: {{ toJson .clients }}
resources: {{ toJson .resources }}
keys:
  rotateEvery: {{ .keys.rotateEvery | quote }}
  {{- if or .keys.encryptionKey .keys.existingSecret }}
  encryptionKey: { file: /etc/curfew/key/encryption-key }
  {{- end }}
receivers: {{ toJson .receivers }}
accounts:
  passkeys:
    enabled: {{ .accounts.passkeys.enabled }}
    {{- with .accounts.passkeys.rpId }}
    rpId: {{ . | quote }}
    {{- end }}
limits: { passkeysPerAccount: {{ int .limits.passkeysPerAccount }}, sessionsPerAccount: {{ int .limits.sessionsPerAccount }} }
{{- end }}
foreignIssuers: {{ include "curfew.foreignIssuers" . }}
{{- end -}}

{{- define "curfew.relayConfig" -}}
issuers: {{ include "curfew.foreignIssuers" . }}
receivers: {{ toJson .Values.relay.receivers }}
{{- end -}}

{{/* Other issuers whose tokens the log can revoke, for the configuration of the log's owner. */}}
{{- define "curfew.foreignIssuers" -}}
{{- $own := ternary .Values.identity.issuer "" .Values.identity.enabled -}}
{{- $issuers := list -}}
{{- range .Values.issuers -}}
{{- if and (ne (.revocation | default "required") "none") (ne .issuer $own) -}}
{{- $one := pick . "issuer" "preset" "sessionClaim" "maxTokenLifetime" "algorithms" "jwks" -}}
{{- range .algorithms -}}
{{/* Everyone with a shared secret could sign notices, so receivers don't accept HMAC. */}}
{{- if hasPrefix "HS" . }}{{- $one = omit $one "algorithms" -}}{{- end -}}
{{- end -}}
{{- $issuers = append $issuers $one -}}
{{- end -}}
{{- end -}}
{{- toJson $issuers -}}
{{- end -}}
