-- ARGV: my claim, LEADER_TTL in ms.
if owner == ARGV[1] then
  redis.call('PEXPIRE', key, ARGV[2])
  return {1}
end
return seen
