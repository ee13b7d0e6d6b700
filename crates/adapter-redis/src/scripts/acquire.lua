-- ARGV: my claim, the value to write, LEADER_TTL in ms, the superseded claim ('' if there is none).
-- A ticket that is mine already counts as free, so that an acquire without an answer can be repeated.
if kind == 'none' or owner == ARGV[1] or owner == ARGV[4] then
  redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
  return {1}
end
return seen
