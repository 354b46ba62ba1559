{{- define "plimsoll.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of the names of all objects. */}}
{{- define "plimsoll.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- $name := include "plimsoll.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "operator"). */}}
{{- define "plimsoll.labels" -}}
{{ include "plimsoll.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: plimsoll
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The labels that select a component's pods: never changed, since selectors cannot be. */}}
{{- define "plimsoll.selectorLabels" -}}
app.kubernetes.io/name: {{ include "plimsoll.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* An image: (dict "root" $ "image" .Values.operator.image). A digest goes before a tag. */}}
{{- define "plimsoll.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{- define "plimsoll.agentUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "plimsoll.fullname" . }}-agent
{{- end }}

{{- define "plimsoll.progressUrl" -}}
{{- default (printf "https://%s-progress.%s.svc:%v" (include "plimsoll.fullname" .) .Release.Namespace .Values.progress.port) .Values.progress.url }}
{{- end }}

{{/* Only what a writer of specs changed is judged, so that the garbage collector's removal of a finalizer, and whatever
else touches metadata alone, passes. */}}
{{- define "plimsoll.specChanged" -}}
- name: spec-is-new-or-changed
  expression: request.operation == 'CREATE' || object.spec != oldObject.spec
{{- end }}

{{/* Where the agent finds the driver's library; empty leaves it to the loader. */}}
{{- define "plimsoll.nvmlLibrary" -}}
{{- if .Values.agent.nvmlLibrary -}}
{{- .Values.agent.nvmlLibrary }}
{{- else if .Values.agent.driverRoot -}}
/usr/local/nvidia/lib64/libnvidia-ml.so.1
{{- end -}}
{{- end }}
