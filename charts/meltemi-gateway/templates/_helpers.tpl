{{- define "gateway.name" -}}
{{ .Values.name | default .Release.Name }}
{{- end }}

{{- define "gateway.selector" -}}
app: {{ include "gateway.name" . | quote }}
istio: {{ include "gateway.name" . | quote }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/name: meltemi-gateway
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: meltemi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "gateway.image" -}}
{{- if contains "/" .Values.image -}}
{{ .Values.image }}
{{- else -}}
{{ .Values.hub }}/{{ .Values.image }}:{{ .Values.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "gateway.controller" -}}
{{- $name := printf "meltemi-controller%s" (.Values.revision | empty | ternary "" (printf "-%s" .Values.revision)) -}}
{{ .Values.controller.address | default (printf "%s.%s.svc:15010" $name .Values.controller.namespace) }}
{{- end }}
