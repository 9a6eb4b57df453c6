-- Tables, closures and string building; every table and string is a block of malloc.
local state = 4242
local function number(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return (state >> 8) % limit
end

local function tree(depth)
  if depth == 0 then return { value = number(1000) } end
  return { left = tree(depth - 1), right = tree(depth - 1) }
end

local function sum(node)
  return node.value or sum(node.left) + sum(node.right)
end

for turn = 1, 5 do
  print(turn, sum(tree(15)))
  local index = {}
  for position = 1, 60000 do
    local key = "key" .. number(9000)
    local list = index[key] or {}
    list[#list + 1] = key:rep(1 + number(4)) .. position
    index[key] = list
  end
  local keys = {}
  for key in pairs(index) do keys[#keys + 1] = key end
  table.sort(keys)
  local hash = 5381
  for _, key in ipairs(keys) do
    for byte in table.concat(index[key], ","):gmatch("%d") do hash = (hash * 33 + byte:byte()) % 4294967296 end
  end
  print(turn, #keys, hash)
end
