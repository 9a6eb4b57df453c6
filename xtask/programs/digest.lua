-- A digest of the whole database that does not depend on the order in which the server keeps things.
local keys = redis.call('keys', '*')
table.sort(keys)

local function pairs_of(flat)
  local list = {}
  for i = 1, #flat, 2 do list[#list + 1] = flat[i] .. '=' .. flat[i + 1] end
  table.sort(list)
  return list
end

local function sorted(list)
  table.sort(list)
  return list
end

local readers = {
  string = function(key) return { redis.call('get', key) } end,
  list = function(key) return redis.call('lrange', key, 0, -1) end,
  set = function(key) return sorted(redis.call('smembers', key)) end,
  zset = function(key) return redis.call('zrange', key, 0, -1, 'withscores') end,
  hash = function(key) return pairs_of(redis.call('hgetall', key)) end,
}

local digest = ''
for _, key in ipairs(keys) do
  local kind = redis.call('type', key).ok
  digest = redis.sha1hex(digest .. key .. kind .. table.concat(readers[kind](key), '\n'))
end
return digest
