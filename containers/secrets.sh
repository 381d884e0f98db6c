#!/bin/sh
# Make the secrets of docker-compose.yml in ./secrets: random passwords that are shown nowhere. Each
# file can be read by one user only, so this runs as root: 999 is PostgreSQL in its image, 10001 ours.
set -eu
umask 077
mkdir secrets
for role in postgres owner daemon reader; do
    password=$(openssl rand -hex 24)
    printf %s "$password" | install -m 400 -o 999 /dev/stdin "secrets/${role}_password"
    case $role in
        owner) login=annotation_owner ;;
        daemon) login=annotation_service ;;
        reader) login=annotation_reader ;;
        *) continue ;;
    esac
    printf 'postgresql://%s:%s@database/atlas' "$login" "$password" |
        install -m 400 -o 10001 /dev/stdin "secrets/${role}_url"
done
