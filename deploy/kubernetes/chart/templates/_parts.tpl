{{/* What several templates say alike. */}}

{{- define "xbot.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "xbot.labels" -}}
app: {{ .Release.Name }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "xbot.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "xbot.config" -}}
{{- if and .Values.xbotToml (not (regexMatch "(?m)^admin *= *\"(0[.]0[.]0[.]0|\\[::\\]):9011\"" .Values.xbotToml)) }}
{{- fail "xbotToml: the pod's probes and Prometheus ask port 9011 of the pod: it needs the line admin = \"0.0.0.0:9011\"" }}
{{- end -}}
xbot.toml: |
{{ .Values.xbotToml | default (.Files.Get "files/xbot.toml") | indent 2 }}
{{- end }}

{{- define "xbot.nginx" -}}
nginx.conf: |
{{ .Values.nginxConf | default (.Files.Get "files/nginx.conf") | indent 2 }}
real_ip.conf: |
  # The networks of the load balancer before the pods. Name your own here, and no others.
  {{- range .Values.loadBalancers }}
  set_real_ip_from {{ . }};
  {{- end }}
{{- end }}
