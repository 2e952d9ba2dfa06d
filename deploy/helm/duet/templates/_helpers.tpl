{{- /* duet.image (list ROOT SERVICE SUFFIX): where the image of a service is; the suffix is that of a version with GPUs. */ -}}
{{- define "duet.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- $tag := $image.tag | default (printf "%s%s" ($root.Values.image.tag | default $root.Chart.AppVersion) (index . 2)) -}}
{{- with $root.Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $image.repository }}:{{ $tag }}
{{- end -}}
