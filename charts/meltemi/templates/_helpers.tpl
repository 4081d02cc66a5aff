{{/* What everything is called; a revision has its own. */}}
{{- define "meltemi.name" -}}
meltemi-controller{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end }}

{{/* Of cluster-wide objects: another namespace may hold another installation. */}}
{{- define "meltemi.clusterName" -}}
{{ include "meltemi.name" . }}-{{ .Release.Namespace }}
{{- end }}

{{- define "meltemi.selector" -}}
app: meltemi-controller
istio.io/rev: {{ .Values.revision | default "default" | quote }}
{{- end }}

{{- define "meltemi.labels" -}}
{{ include "meltemi.selector" . }}
app.kubernetes.io/name: meltemi-controller
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: meltemi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{/* Of what runs while a release is uninstalled: none of it is the controller's. */}}
{{- define "meltemi.hookLabels" -}}
app: meltemi-uninstall
app.kubernetes.io/name: meltemi-uninstall
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: meltemi
{{- end }}

{{/* What the hook needs, as long as it runs. */}}
{{- define "meltemi.hook" -}}
annotations:
  helm.sh/hook: pre-delete
  helm.sh/hook-weight: "-1"
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
labels:
  {{- include "meltemi.hookLabels" . | nindent 2 }}
{{- end }}

{{- define "meltemi.image" -}}
{{- include "meltemi.imageOf" (list . .Values.image) }}
{{- end }}

{{- define "meltemi.imageOf" -}}
{{- $image := last . }}
{{- with first . }}
{{- if contains "/" $image -}}
{{ $image }}
{{- else -}}
{{ .Values.hub }}/{{ $image }}:{{ .Values.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the controller is told of waypoints: the values, with what else it takes. */}}
{{- define "meltemi.waypoint" -}}
{{- $of := omit .Values.waypoint "enabled" }}
{{- $secrets := list }}
{{- range .Values.global.imagePullSecrets }}
{{- $secrets = append $secrets (kindIs "map" . | ternary . (dict "name" .) | dig "name" "") }}
{{- end }}
{{- $policy := .Values.waypoint.imagePullPolicy | default .Values.global.imagePullPolicy }}
{{- $own := dict "image" (include "meltemi.imageOf" (list . .Values.waypoint.image)) "imagePullPolicy" $policy }}
{{- $own = set $own "imagePullSecrets" $secrets }}
{{- $own = set $own "controller" (printf "%s.%s.svc:15010" (include "meltemi.name" .) .Release.Namespace) }}
{{- $own = set $own "bindAddress" .Values.bindAddress }}
{{- mustMergeOverwrite $of $own | toJson | replace "$(" "$$(" }}
{{- end }}

{{- define "meltemi.subject" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "meltemi.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Names of a Service that proxies may dial. That without a revision the controller knows itself. */}}
{{- define "meltemi.tlsNames" -}}
{{- $names := .Values.tlsNames }}
{{- with .Values.revision }}
{{- $name := include "meltemi.name" $ }}
{{- $full := printf "%s.%s" $name $.Release.Namespace }}
{{- $names = concat (list $name $full (printf "%s.svc" $full) (printf "%s.svc.cluster.local" $full)) $names }}
{{- end }}
{{- toJson $names }}
{{- end }}
