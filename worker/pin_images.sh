#!/bin/sh
# Pin the images that docker-compose.yml and worker/Dockerfile name to the digests that their registry has for those
# versions now. Needs Docker with buildx, and the network. To raise a version, change its tag first.
set -eu
cd "$(dirname "$0")/.."
pins=$(mktemp)
grep -hoE '(image: |FROM )(redis|postgres|python):[0-9][A-Za-z0-9._-]*' docker-compose.yml worker/Dockerfile |
  sed -E 's/^(image: |FROM )//' | sort -u > "$pins.names"
trap 'rm -f "$pins" "$pins.names"' EXIT
while read -r image; do
  digest=$(docker buildx imagetools inspect "$image" | sed -nE 's/^Digest: +(sha256:[0-9a-f]{64})$/\1/p' | head -n 1)
  [ -n "$digest" ] || { echo "$image: no digest was found; nothing was changed" >&2; exit 1; }
  printf 's/%s(@sha256:[0-9a-f]+)?( |$)/%s@%s\\2/\n' "$image" "$image" "$digest" >> "$pins"
  echo "$image@$digest"
done < "$pins.names"
for file in docker-compose.yml worker/Dockerfile; do
  sed -E -f "$pins" "$file" > "$file.pinned"
  cat "$file.pinned" > "$file"
  rm "$file.pinned"
done
