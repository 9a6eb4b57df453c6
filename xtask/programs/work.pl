# Hashes of arrays, string building, sorting and substitution.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my $state = 777;
sub number { $state = ($state * 1103515245 + 12345) % 2147483648; return ($state >> 8) % $_[0]; }

my @words = map { join '', map { chr(97 + number(26)) } 1 .. 3 + number(8) } 1 .. 5000;
my $all = '';
for my $turn (1 .. 4) {
    my %index;
    for my $position (1 .. 60000) {
        my $word = $words[number(scalar @words)];
        push @{ $index{$word} }, { at => $position, text => $word x (1 + number(4)) };
    }
    my $text = '';
    for my $word (sort keys %index) {
        my @sorted = sort { $a->{text} cmp $b->{text} || $a->{at} <=> $b->{at} } @{ $index{$word} };
        $text .= join(',', $word, map { "$_->{at}:$_->{text}" } @sorted) . "\n";
    }
    (my $changed = $text) =~ s/([aeiou])(\w)/$2$1/g;
    my @fields = map { [ split /,/ ] } split /\n/, $changed;
    print join(' ', $turn, scalar(keys %index), length $text, scalar @fields, sha256_hex($changed)), "\n";
    $all .= $changed;
}
print sha256_hex($all), "\n";
