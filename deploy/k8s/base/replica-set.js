// Makes the replica set, and adds members that are new in MONGODB_HOSTS. To run it again changes nothing.
const hosts = process.env.MONGODB_HOSTS.split(",")
let members = null
try {
  members = rs.conf().members
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error
  rs.initiate({_id: "rs0", members: hosts.map((host, id) => ({_id: id, host}))})
}
const missing = members === null ? [] : hosts.filter(host => !members.some(member => member.host === host))
if (missing.length > 0) {
  const password = encodeURIComponent(process.env.MONGO_INITDB_ROOT_PASSWORD)
  const known = members.map(member => member.host).join(",")
  const primary = connect(`mongodb://trawl:${password}@${known}/admin?replicaSet=rs0&authSource=admin`)
  // One at a time, as reconfiguring wants it.
  for (const host of missing) {
    const config = primary.adminCommand({replSetGetConfig: 1}).config
    config.version += 1
    config.members.push({_id: Math.max(...config.members.map(member => member._id)) + 1, host})
    const answer = primary.adminCommand({replSetReconfig: config})
    if (!answer.ok) throw new Error(answer.errmsg)
  }
}
