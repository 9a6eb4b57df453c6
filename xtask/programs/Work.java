import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

/** Collections in the heap of the JVM; direct buffers, compression and threads outside of it. */
public class Work {
    private static long state = 1;

    private static int number(int limit) {
        state = (state * 1103515245L + 12345L) % 2147483648L;
        return (int) ((state >> 8) % limit);
    }

    record Entry(int position, String text) {}

    private static long packed(int seed) throws DataFormatException {
        byte[] input = ("seed " + seed + " ").repeat(4000).getBytes(StandardCharsets.UTF_8);
        CRC32 sum = new CRC32();
        for (int level = 1; level <= 9; level++) {
            Deflater deflater = new Deflater(level);
            deflater.setInput(input);
            deflater.finish();
            byte[] output = new byte[input.length];
            int size = deflater.deflate(output);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(output, 0, size);
            byte[] back = new byte[input.length];
            inflater.inflate(back);
            inflater.end();
            sum.update(back);
        }
        return sum.getValue();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, List<Entry>> index = new TreeMap<>();
        for (int i = 0; i < 200_000; i++) {
            String key = "k" + number(3000);
            index.computeIfAbsent(key, k -> new ArrayList<>()).add(new Entry(i, key.repeat(1 + number(4))));
        }
        long sum = 0;
        for (List<Entry> list : index.values()) {
            list.sort(Comparator.comparing(Entry::text).thenComparingInt(Entry::position));
            for (Entry entry : list) sum = sum * 31 + entry.text().length() + entry.position();
        }
        System.out.println("index " + index.size() + " " + sum);
        List<ByteBuffer> buffers = new ArrayList<>();
        for (int i = 0; i < 4000; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(64 + number(16000));
            buffer.putInt(0, i);
            buffers.add(buffer);
        }
        long total = 0;
        for (ByteBuffer buffer : buffers) total += buffer.capacity() + buffer.getInt(0);
        System.out.println("buffers " + total);
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            int seed = i;
            results.add(pool.submit(() -> packed(seed)));
        }
        long all = 0;
        for (Future<Long> result : results) all = all * 31 + result.get();
        pool.shutdown();
        System.out.println("packed " + all);
    }
}
