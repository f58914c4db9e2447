# Starts a member. The first one also sees to the replica set, at every start: there is no Job that `apply` could not change.
set -euo pipefail
umask 077
printf '%s' "$MONGODB_REPLICA_KEY" > /tmp/replica.key
if [ "${POD_NAME##*-}" = 0 ]; then
  # By its name in the network, which only the server itself answers, not the one that makes the first user.
  uri="mongodb://trawl:$MONGO_INITDB_ROOT_PASSWORD@$POD_NAME.mongodb:27017/?authSource=admin&directConnection=true"
  (until mongosh "$uri" --quiet --file /etc/mongodb/replica-set.js; do sleep 3; done) &
else
  # The others get the user from the first one, and must start empty.
  unset MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD
fi
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile /tmp/replica.key --bind_ip_all
