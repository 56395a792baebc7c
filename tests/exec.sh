#!/bin/sh
# Runs one test for prove: shell tests by bash, C tests directly.
case $1 in
*.sh) exec bash "$@" ;;
*) exec "$@" ;;
esac
