#!/bin/sh
# The health check of a node of the log. It also restarts the node where nothing else helps.
#
# A node whose disk was full turns JetStream off, and leaves it off though there is room again. Docker
# restarts what ends, not what is unhealthy; so the node is ended here, in order, once there is room.
# In its first minutes JetStream is off too, while it reads its store: then it is left alone.

pid_file=/data/nats.pid
url=http://127.0.0.1:8222
room_kib=65536

said() { wget -qO /dev/null "$url/$1"; }
has_room() { [ "$(df -Pk "$(dirname "$pid_file")" | awk 'NR == 2 { print $4 }')" -gt "$room_kib" ]; }
has_settled() { [ -n "$(find "$pid_file" -mmin +5)" ]; }

said healthz && exit 0
if said varz && ! said 'healthz?js-enabled-only=true' && has_settled && has_room; then
  echo "JetStream is off and its disk has room: ending the node, which is then started again"
  kill -TERM "$(cat "$pid_file")"
fi
exit 1
