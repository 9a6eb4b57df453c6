<?php
// Work for PHP's extensions, which it opens with RTLD_DEEPBIND: those of its base package, and others where they are
// installed. Prints the same every time.
$text = str_repeat("Größe und Maß; ", 2000);
for ($i = 0; $i < 100; $i++) {
    if (iconv("UTF-16", "UTF-8", iconv("UTF-8", "UTF-16", $text . $i)) !== $text . $i) exit(1);
    if (extension_loaded("mbstring") && mb_convert_case(mb_strtoupper($text), MB_CASE_LOWER) === $text) exit(2);
}
echo count(token_get_all(str_repeat('<?php $a = [1, "b" . $c]; ?>', 500))), "\n";
echo (new finfo(FILEINFO_MIME_TYPE))->buffer("\x7fELF" . str_repeat("\0", 200)), "\n";
$archive = new PharData(sys_get_temp_dir() . "/spandrel-" . getmypid() . ".tar");
for ($i = 0; $i < 50; $i++) $archive["file$i"] = str_repeat("$i", 1000);
echo count($archive), "\n";
unset($archive);
unlink(sys_get_temp_dir() . "/spandrel-" . getmypid() . ".tar");
if (extension_loaded("dom")) {
    $document = new DOMDocument();
    $root = $document->appendChild($document->createElement("rows"));
    for ($i = 0; $i < 3000; $i++) $root->appendChild($document->createElement("row", "text $i"))->setAttribute("id", (string)$i);
    $xml = $document->saveXML();
    echo (new DOMXPath($document))->query("//row[@id mod 7 = 0]")->length, " ", count(simplexml_load_string($xml)->row), "\n";
}
if (extension_loaded("pdo_sqlite")) {
    $database = new PDO("sqlite::memory:");
    $database->exec("create table t (id integer primary key, name text)");
    $insert = $database->prepare("insert into t (name) values (?)");
    for ($i = 0; $i < 2000; $i++) $insert->execute([str_repeat("n", $i % 500)]);
    echo $database->query("select sum(length(name)) from t")->fetchColumn(), "\n";
}
