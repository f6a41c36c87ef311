#!/bin/sh
# The health check of a node of the log. It also restarts the node if nothing else helps.
#
# When its disk is full, a node turns JetStream off and leaves it off even once there is room again.
# Docker restarts containers that end, not unhealthy ones. So this script stops the node, in order, once
# there is room. JetStream is also off in a node's first minutes, while it reads its store; then the
# node is left alone.

pid_file=/data/nats.pid
url=http://127.0.0.1:8222
room_kib=65536

answers() { wget -qO /dev/null "$url/$1"; }
has_room() { [ "$(df -Pk "$(dirname "$pid_file")" | awk 'NR == 2 { print $4 }')" -gt "$room_kib" ]; }
has_settled() { [ -n "$(find "$pid_file" -mmin +5)" ]; }

answers healthz && exit 0
if answers varz && ! answers 'healthz?js-enabled-only=true' && has_settled && has_room; then
  echo "JetStream is off although its disk has room: stopping the node so that it is restarted"
  kill -TERM "$(cat "$pid_file")"
fi
exit 1
