// Reads a profile with the package pprof-format, which knows nothing of Spandrel, and checks that its references lead
// somewhere. Prints `name=sum` for each value, and how deep the deepest stack is.
const { Profile } = require("pprof-format");
const fs = require("fs");
const zlib = require("zlib");

const profile = Profile.decode(zlib.gunzipSync(fs.readFileSync(process.argv[2])));
const text = (index) => profile.stringTable.strings[Number(index)];
const locations = new Map(profile.location.map((location) => [location.id, location]));
const mappings = new Map(profile.mapping.map((mapping) => [mapping.id, mapping]));
const fail = (what) => { console.error(what); process.exit(1); };

if (profile.location.length !== locations.size) fail("a location is there twice");
for (const location of profile.location) {
    if (!Number(location.mappingId)) continue;
    const mapping = mappings.get(location.mappingId) || fail("a location is in no mapping");
    const at = BigInt(location.address);
    const inside = at >= BigInt(mapping.memoryStart) && at < BigInt(mapping.memoryLimit);
    if (!inside) fail("a location is outside of its mapping");
    if (!text(mapping.filename)) fail("a mapping with code has no name");
}
const sums = profile.sampleType.map(() => 0n);
for (const sample of profile.sample) {
    if (sample.value.length !== sums.length) fail("a sample has too few values");
    for (const id of sample.locationId) if (!locations.has(id)) fail("a sample names no location");
    sample.value.forEach((value, index) => { sums[index] += BigInt(value); });
}
profile.sampleType.forEach((type, index) => console.log(`${text(type.type)}=${sums[index]}`));
const unit = text(profile.periodType.unit);
console.log(`default=${text(profile.defaultSampleType)} period=${profile.period} unit=${unit}`);
console.log(`stacks=${profile.sample.length} mappings=${profile.mapping.length}`);
console.log(`depth=${Math.max(0, ...profile.sample.map((sample) => sample.locationId.length))}`);
console.log(`recent=${Math.abs(Date.now() - Number(BigInt(profile.timeNanos) / 1000000n)) < 600000 ? 1 : 0}`);
