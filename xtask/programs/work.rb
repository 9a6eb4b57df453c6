# Strings, hashes, sorting and garbage collection.
require "digest"

state = 31337
number = lambda do |limit|
  state = (state * 1103515245 + 12345) % 2147483648
  (state >> 8) % limit
end

words = Array.new(5000) { Array.new(3 + number.call(8)) { (97 + number.call(26)).chr }.join }
all = Digest::SHA256.new
4.times do |turn|
  index = Hash.new { |hash, key| hash[key] = [] }
  50000.times { |position| index[words[number.call(words.size)]] << "#{position}:" + "x" * number.call(200) }
  text = index.sort.map { |word, list| word + list.sort.join(",") }.join("\n")
  changed = text.gsub(/[aeiou]/) { |vowel| vowel.upcase }
  all.update(changed)
  puts [turn, index.size, changed.bytesize, changed.count("AEIOU")].join(" ")
end
puts all.hexdigest
