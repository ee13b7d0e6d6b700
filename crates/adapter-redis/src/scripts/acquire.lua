-- ARGV: my claim, the value to write, LEADER_TTL in ms, the claim known to be over ('' when there is none).
-- Mine already counts as free: an acquire whose answer was lost is simply asked again.
if kind == 'none' or owner == ARGV[1] or owner == ARGV[4] then
  redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
  return {1}
end
return seen
