{{/* Fails with every mistake in the values that the chart can know. */}}
{{- define "metrics-apiserver.validate" -}}
{{- $problems := concat
  (include "metrics-apiserver.problems.prometheus" . | fromJsonArray)
  (include "metrics-apiserver.problems.rules" . | fromJsonArray)
  (include "metrics-apiserver.problems.certificate" . | fromJsonArray)
  (include "metrics-apiserver.problems.other" . | fromJsonArray)
-}}
{{- if $problems -}}
{{- fail (printf "\n\nthe values of %s have %s:\n- %s\n" .Chart.Name (len $problems | eq 1 | ternary "a mistake" "mistakes") (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "metrics-apiserver.problems.prometheus" -}}
{{- $problems := list -}}
{{- $prometheus := .Values.prometheus -}}
{{- $url := tpl $prometheus.url . | trim -}}
{{- $port := include "metrics-apiserver.prometheusPort" . -}}
{{- if hasKey (default dict .Values.backends) "default" -}}
{{- if ne $prometheus.url "http://prometheus.default.svc" -}}
{{- $problems = append $problems "prometheus.url and backends.default both define the backend `default`: remove one of them" -}}
{{- end -}}
{{- else if not (regexMatch "^https?://[^/?#]+" $url) -}}
{{- $problems = append $problems (printf "prometheus.url is %q: it must begin with http:// or https:// and a host, as in http://prometheus-operated.monitoring.svc" (regexReplaceAll "[^/]*@" $url "…@")) -}}
{{- else if $port -}}
{{- if regexMatch "^https?://([^@/]*@)?(\\[[^\\]]*\\]|[^:/?#]*):[0-9]+/?$" $url -}}
{{- $problems = append $problems (printf "prometheus.url has a port, and prometheus.port is %s: set prometheus.port to 0, or remove the port from the url" $port) -}}
{{- else if regexMatch "^https?://[^/]+/" $url -}}
{{- $problems = append $problems (printf "prometheus.port (%s) would be appended to the path of prometheus.url: move the path to prometheus.path, or set prometheus.port to 0 and write the port into the url" $port) -}}
{{- end -}}
{{- end -}}
{{- if and $prometheus.path (not (hasPrefix "/" $prometheus.path)) -}}
{{- $problems = append $problems (printf "prometheus.path is %q: it must begin with /" $prometheus.path) -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "metrics-apiserver.problems.rules" -}}
{{- $root := . -}}
{{- $problems := list -}}
{{- $rules := .Values.rules -}}
{{- $backends := default dict .Values.backends -}}
{{- if and $rules.existing (or .Values.metrics $backends) -}}
{{- $problems = append $problems "with rules.existing the chart makes no ConfigMap: move `metrics` and `backends` into that ConfigMap, and set apiServices.external if it has metrics" -}}
{{- end -}}
{{- $sections := dict "metrics" .Values.metrics "rules.custom" $rules.custom "rules.external" $rules.external -}}
{{- range $section, $entries := $sections -}}
{{- range $index, $rule := $entries -}}
{{- $backend := default "default" $rule.backend -}}
{{- if not (or (eq $backend "default") (hasKey $backends $backend)) -}}
{{- $problems = append $problems (printf "%s[%d] names the backend %q, which is not in `backends`" $section $index $backend) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $backend := default "default" (default dict $rules.resource).backend -}}
{{- if not (or (eq $backend "default") (hasKey $backends $backend)) -}}
{{- $problems = append $problems (printf "rules.resource names the backend %q, which is not in `backends`" $backend) -}}
{{- end -}}
{{- $names := dict -}}
{{- range .Values.metrics -}}
{{- $name := lower .name -}}
{{- if hasKey $names $name -}}
{{- $problems = append $problems (printf "`metrics` has %q twice: names are compared without regard to case" .name) -}}
{{- end -}}
{{- $_ := set $names $name true -}}
{{- end -}}
{{- range $name, $backend := $backends -}}
{{- if not $backend -}}
{{- $problems = append $problems (printf "backends.%s is empty: give it a url" $name) -}}
{{- else if and $backend.url $backend.urls -}}
{{- $problems = append $problems (printf "backends.%s has url and urls: keep one of them" $name) -}}
{{- else if not (or $backend.url $backend.urls) -}}
{{- $problems = append $problems (printf "backends.%s has no url" $name) -}}
{{- end -}}
{{- end -}}
{{- if not $rules.existing -}}
{{- range $api, $key := dict "custom" "rules.custom or rules.default" "external" "rules.external or metrics" "resource" "rules.resource" -}}
{{- $said := get $root.Values.apiServices $api -}}
{{- if and (kindIs "bool" $said) $said (not (include "metrics-apiserver.hasRules" (list $root $api))) -}}
{{- $problems = append $problems (printf "apiServices.%s is true, but without %s the server does not serve this API, and its APIService would never be available" $api $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "metrics-apiserver.problems.certificate" -}}
{{- $problems := list -}}
{{- $tls := .Values.tls -}}
{{- $given := list -}}
{{- if $tls.enable }}{{ $given = append $given "tls.enable" }}{{ end -}}
{{- if .Values.certManager.enabled }}{{ $given = append $given "certManager.enabled" }}{{ end -}}
{{- if $tls.existingSecret }}{{ $given = append $given "tls.existingSecret" }}{{ end -}}
{{- if $tls.insecureSkipTLSVerify }}{{ $given = append $given "tls.insecureSkipTLSVerify" }}{{ end -}}
{{- if gt (len $given) 1 -}}
{{- if ne (join " " $given) "tls.existingSecret tls.insecureSkipTLSVerify" -}}
{{- $problems = append $problems (printf "%s contradict each other: the serving certificate has one source, so keep one of them" (join " and " $given)) -}}
{{- end -}}
{{- end -}}
{{- if $tls.enable -}}
{{- range $key, $mark := dict "ca" "BEGIN CERTIFICATE" "certificate" "BEGIN CERTIFICATE" "key" "PRIVATE KEY" -}}
{{- if not (contains $mark (default "" (get $tls $key))) -}}
{{- $problems = append $problems (printf "tls.enable needs tls.%s in PEM (-----BEGIN …)" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $tls.existingSecret (not $tls.insecureSkipTLSVerify) (not (contains "BEGIN CERTIFICATE" (default "" $tls.ca))) -}}
{{- $problems = append $problems "tls.existingSecret needs tls.ca, the CA that signed its certificate, in PEM; or set tls.insecureSkipTLSVerify" -}}
{{- end -}}
{{- if le (int $tls.generated.validDays) (int $tls.generated.renewBeforeDays) -}}
{{- $problems = append $problems "tls.generated.renewBeforeDays must be less than tls.generated.validDays, or every upgrade would make another certificate" -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "metrics-apiserver.problems.other" -}}
{{- $problems := list -}}
{{- if regexMatch "(^|/)prometheus-adapter(-[a-z0-9]+)?$" .Values.image.repository -}}
{{- $problems = append $problems (printf "image.repository is %s, the image of prometheus-adapter: remove `image` from your values, or name an image of metrics-apiserver" .Values.image.repository) -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled $budget.minAvailable $budget.maxUnavailable -}}
{{- $problems = append $problems "podDisruptionBudget has minAvailable and maxUnavailable: Kubernetes accepts one of them" -}}
{{- end -}}
{{- if and .Values.checkJob.enabled .Values.rules.existing -}}
{{- $problems = append $problems "checkJob checks the rules of these values, but rules.existing names a ConfigMap: turn it off, and run `metrics-apiserver check` on that file" -}}
{{- end -}}
{{- if and .Values.networkPolicy.extraEgress (not .Values.networkPolicy.strictEgress) -}}
{{- $problems = append $problems "networkPolicy.extraEgress has no effect without networkPolicy.strictEgress: without it every destination is allowed" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.serviceAccount.name (not .Values.serviceMonitor.serviceAccount.namespace) -}}
{{- $problems = append $problems "serviceMonitor.serviceAccount.name needs serviceMonitor.serviceAccount.namespace" -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{- define "metrics-apiserver.noCluster" -}}


the chart makes a serving certificate and keeps it in a Secret, but cannot read that Secret here: this is
`helm template`, a dry run of the client, or a GitOps controller. Each rendering would make another certificate.
Do one of these:
- set certManager.enabled, if the cluster has cert-manager
- set tls.existingSecret and tls.ca, or tls.enable with tls.ca, tls.certificate and tls.key, for a certificate of yours
- set tls.insecureSkipTLSVerify, which is what prometheus-adapter's chart does by default
- to look at the manifests, add --dry-run=server
{{ end -}}

{{/* Values at the root that the chart knows; values.schema.json has the same keys. */}}
{{- define "metrics-apiserver.knownValues" -}}
affinity apiServices automountServiceAccountToken backends certManager checkJob customAnnotations customLabels
dashboard deploymentAnnotations dnsConfig dnsPolicy env extraArguments extraContainers extraManifests extraVolumeMounts
extraVolumes flowSchema fullnameOverride global hostNetwork image imagePullSecrets listenPort livenessProbe logLevel metrics
metricsRelistInterval nameOverride namespaceOverride networkPolicy nodeSelector podAnnotations podDisruptionBudget
podLabels podSecurityContext priorityClassName prometheus prometheusRule psp rbac readinessProbe replicas resources
revisionHistoryLimit rules securityContext service serviceAccount serviceMonitor startupProbe strategy tls tolerations
topologySpreadConstraints
{{- end -}}

{{/* A line for each value that the chart does not know. */}}
{{- define "metrics-apiserver.unknownValues" -}}
{{- $known := regexSplit "\\s+" (include "metrics-apiserver.knownValues" . | trim) -1 -}}
{{- range $key := keys .Values | sortAlpha -}}
{{- if not (has $key $known) -}}
{{- $similar := "" -}}
{{- range $known }}{{ if eq (lower .) (lower $key) }}{{ $similar = . }}{{ end }}{{ end }}
- {{ $key }}{{ with $similar }} (did you mean {{ . }}?){{ end }}
{{- end -}}
{{- end -}}
{{- range $map, $keys := dict "prometheus" (list "url" "port" "path") "rules" (list "default" "custom" "existing" "external" "resource") -}}
{{- range $key := keys (get $.Values $map) | sortAlpha -}}
{{- if not (has $key $keys) }}
- {{ $map }}.{{ $key }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
