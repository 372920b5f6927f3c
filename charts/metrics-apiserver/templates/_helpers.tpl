{{/*
The name in labels and in the names of cluster-wide objects: nameOverride, or the chart's. A release that is called
prometheus-adapter is one that takes over from that chart: it keeps its names, so that an upgrade replaces the pods of
the same Deployment behind the same Service.
*/}}
{{- define "metrics-apiserver.name" -}}
{{- $name := ternary "prometheus-adapter" .Chart.Name (contains "prometheus-adapter" .Release.Name) -}}
{{- default $name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the objects in the namespace. As prometheus-adapter's chart makes it, so that objects keep their names. */}}
{{- define "metrics-apiserver.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "metrics-apiserver.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of the Service's port; empty where the Service is that of prometheus-adapter's chart. */}}
{{- define "metrics-apiserver.portName" -}}
{{- if ne (include "metrics-apiserver.name" .) "prometheus-adapter" }}https{{ end -}}
{{- end -}}

{{- define "metrics-apiserver.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* A Deployment's selector cannot be changed: these are the labels of prometheus-adapter's chart. */}}
{{- define "metrics-apiserver.selectorLabels" -}}
app.kubernetes.io/name: {{ include "metrics-apiserver.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "metrics-apiserver.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: metrics
app.kubernetes.io/part-of: {{ include "metrics-apiserver.name" . }}
{{ include "metrics-apiserver.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The metadata of an object, indented by two. Argument: a list of the root context, the name, the namespace (empty for a
cluster-wide object), and optionally further annotations and further labels.
*/}}
{{- define "metrics-apiserver.metadata" -}}
{{- $root := index . 0 -}}
{{- $annotations := dict -}}
{{- if gt (len .) 3 }}{{ $annotations = merge $annotations (index . 3) }}{{ end -}}
{{- $annotations = merge $annotations (default dict $root.Values.customAnnotations) -}}
name: {{ index . 1 }}
{{- with index . 2 }}
  namespace: {{ . }}
{{- end }}
  labels:
    {{- include "metrics-apiserver.labels" $root | nindent 4 }}
    {{- if gt (len .) 4 }}
    {{- with index . 4 }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
{{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "metrics-apiserver.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "metrics-apiserver.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "metrics-apiserver.subject" -}}
- kind: ServiceAccount
  name: {{ include "metrics-apiserver.serviceAccountName" . }}
  namespace: {{ include "metrics-apiserver.namespace" . }}
{{- end -}}

{{/* The HPA controller: its ServiceAccount, and its user where it runs without credentials of its own. */}}
{{- define "metrics-apiserver.hpaController" -}}
- kind: ServiceAccount
  name: horizontal-pod-autoscaler
  namespace: kube-system
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: system:kube-controller-manager
{{- end -}}

{{/*
Which of the three APIs are served: `custom`, `external`, `resource`, each "true" or "". By the rules, unless
`apiServices` says it.
*/}}
{{- define "metrics-apiserver.serves" -}}
{{- $root := index . 0 -}}
{{- $api := index . 1 -}}
{{- $said := get $root.Values.apiServices $api -}}
{{- if kindIs "bool" $said -}}
{{- if $said }}true{{ end -}}
{{- else if include "metrics-apiserver.hasRules" . -}}
true
{{- end -}}
{{- end -}}

{{/* Whether the values have rules for an API. */}}
{{- define "metrics-apiserver.hasRules" -}}
{{- $root := index . 0 -}}
{{- $api := index . 1 -}}
{{- $rules := $root.Values.rules -}}
{{- if eq $api "custom" -}}
{{- if or $rules.default $rules.custom }}true{{ end -}}
{{- else if eq $api "external" -}}
{{- if or $rules.external $root.Values.metrics }}true{{ end -}}
{{- else if $rules.resource -}}
true
{{- end -}}
{{- end -}}

{{/*
Whether this release registers every API that it has rules for. Only then the server watches its registration: it would
report an API that is left to another provider as lost.
*/}}
{{- define "metrics-apiserver.isRegistered" -}}
{{- $root := . -}}
{{- $isRegistered := .Values.apiServices.create -}}
{{- range list "custom" "external" "resource" -}}
{{- if and (include "metrics-apiserver.hasRules" (list $root .)) (not (include "metrics-apiserver.serves" (list $root .))) -}}
{{- $isRegistered = false -}}
{{- end -}}
{{- end -}}
{{- if $isRegistered }}true{{ end -}}
{{- end -}}

{{/* The URL of --prometheus-url; empty if `backends` has a backend `default`. */}}
{{- define "metrics-apiserver.prometheusUrl" -}}
{{- if not (hasKey (default dict .Values.backends) "default") -}}
{{- tpl .Values.prometheus.url . -}}
{{- with include "metrics-apiserver.prometheusPort" . }}:{{ . }}{{ end -}}
{{- .Values.prometheus.path -}}
{{- end -}}
{{- end -}}

{{/* The port as text; empty if there is none to append. Values files give numbers as floats. */}}
{{- define "metrics-apiserver.prometheusPort" -}}
{{- $port := .Values.prometheus.port -}}
{{- if not (kindIs "string" $port) }}{{ $port = toString (int (default 0 $port)) }}{{ end -}}
{{- if ne $port "0" }}{{ $port }}{{ end -}}
{{- end -}}

{{/*
Where the serving certificate comes from: `values` (tls.enable), `cert-manager`, `secret` (tls.existingSecret),
`arguments` (extraArguments name the files), `self-signed` (by each pod) or `generated` (by this chart).
*/}}
{{- define "metrics-apiserver.certificate" -}}
{{- if .Values.tls.enable -}}
values
{{- else if .Values.certManager.enabled -}}
cert-manager
{{- else if .Values.tls.existingSecret -}}
secret
{{- else if regexMatch "(^|\n)--tls-cert-file" (join "\n" .Values.extraArguments) -}}
arguments
{{- else if .Values.tls.insecureSkipTLSVerify -}}
self-signed
{{- else -}}
generated
{{- end -}}
{{- end -}}

{{/* The Secret with tls.crt and tls.key; empty if there is none. */}}
{{- define "metrics-apiserver.certificateSecret" -}}
{{- $certificate := include "metrics-apiserver.certificate" . -}}
{{- if eq $certificate "generated" -}}
{{- printf "%s-serving-cert" (include "metrics-apiserver.fullname" . | trunc 50 | trimSuffix "-") -}}
{{- else if eq $certificate "secret" -}}
{{- .Values.tls.existingSecret -}}
{{- else if has $certificate (list "values" "cert-manager") -}}
{{- include "metrics-apiserver.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* Whether kube-apiserver does not verify the certificate, as with prometheus-adapter's chart by default. */}}
{{- define "metrics-apiserver.isUnverified" -}}
{{- $certificate := include "metrics-apiserver.certificate" . -}}
{{- if has $certificate (list "arguments" "self-signed" "secret") -}}
{{- if or .Values.tls.insecureSkipTLSVerify (not (contains "BEGIN CERTIFICATE" (default "" .Values.tls.ca))) }}true{{ end -}}
{{- else if eq $certificate "generated" -}}
{{- if not .Values.tls.generated.verify }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "metrics-apiserver.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* Names of Secrets, from image.pullSecrets (names) and imagePullSecrets (names or objects). */}}
{{- define "metrics-apiserver.pullSecrets" -}}
{{- range concat (default list .Values.image.pullSecrets) (default list .Values.imagePullSecrets) }}
- name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
{{- end }}
{{- end -}}

{{/* The configuration file. */}}
{{- define "metrics-apiserver.config" -}}
{{- $config := dict -}}
{{- with .Values.backends }}{{ $_ := set $config "backends" . }}{{ end -}}
{{- with .Values.metrics }}{{ $_ := set $config "metrics" . }}{{ end -}}
{{- $rules := list -}}
{{- if .Values.rules.default }}{{ $rules = .Files.Get "files/default-rules.yaml" | fromYamlArray }}{{ end -}}
{{- with concat $rules (default list .Values.rules.custom) }}{{ $_ := set $config "rules" . }}{{ end -}}
{{- with .Values.rules.external }}{{ $_ := set $config "externalRules" . }}{{ end -}}
{{- with .Values.rules.resource }}{{ $_ := set $config "resourceRules" . }}{{ end -}}
{{- /* The server takes a file without rules for a half-written one. */ -}}
{{- if not (or $config.metrics $config.rules $config.externalRules $config.resourceRules) }}{{ $_ := set $config "metrics" list }}{{ end -}}
{{- toYaml $config -}}
{{- end -}}
