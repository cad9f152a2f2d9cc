#!/bin/sh
# Passwords for docker-compose.yml, one file each. Compose hands the files into the containers with the rights they have
# here, and the services run as users of their own: so the files are readable, and the folder around them is not.
set -eu
folder=$1
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || { printf '%s' "$2" > "$folder/$1"; chmod 644 "$folder/$1"; echo "made $folder/$1"; }; }

keep redis_password "$(random)"
keep postgres_password "$(random)"
keep flower_sign_in "roster:$(random)"
keep broker_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
keep ledger_url "postgresql+psycopg://roster:$(cat "$folder/postgres_password")@postgres/roster"
for name in tahdah_token kmi_api_key kmi_api_secret moodle_token; do
  keep "$name" "put-yours-here"
done
echo "Put the token of your LMS into $folder/tahdah_token, $folder/moodle_token, or $folder/kmi_api_key and"
echo "$folder/kmi_api_secret; in roster.toml it is token = \"file:/run/secrets/tahdah_token\", and so on."
