# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_spandrel_global_optspecs
    string join \n h/help V/version
end

function __fish_spandrel_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_spandrel_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_spandrel_using_subcommand
    set -l cmd (__fish_spandrel_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c spandrel -n "__fish_spandrel_needs_command" -s h -l help -d 'Print help'
complete -c spandrel -n "__fish_spandrel_needs_command" -s V -l version -d 'Print version'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "run" -d 'Start a program under Spandrel'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "doctor" -d 'Say whether Spandrel serves a process or a program, and if not, why'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "explain" -d 'Say how a request of some size is served, or what is at an address of a process'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "stats" -d 'Show the memory statistics of a running process'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "record" -d 'Record the memory statistics of a running process over time, in a file'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "report" -d 'Make a page with pictures of a process\'s memory, or of a recording'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "top" -d 'Watch the memory of a running process, or list all processes that Spandrel serves'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "serve" -d 'Serve the figures of all processes under Spandrel to Prometheus, and their heap profiles to readers of these'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "profile" -d 'Make a heap profile of a program, or show one'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "leaks" -d 'Show which call stacks hold memory in a heap profile, or hold more in a second one'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "symbolize" -d 'Add functions, source files and lines to the call stacks that the library printed'
complete -c spandrel -n "__fish_spandrel_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -l mode -d 'Mode (`SPANDREL_MODE`)' -r -f -a "fast\t''
libc\t''
counting\t''
tracked\t''
hardened\t''
guarded\t''
custom\t''"
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -l profile -d 'Profile (`SPANDREL_PROFILE`)' -r -f -a "hosted-small\t''
hosted-server\t''
freestanding\t''
realtime\t''
compiler-internal\t''
test-fixture\t''"
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -l conf -d 'A file with options, one NAME=VALUE a line (`SPANDREL_CONF`); the environment and other arguments win' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -s o -l option -d 'An option of docs/options.md, such as `stats=1` for `SPANDREL_STATS=1`; may be given several times' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -l library -d 'The library to preload' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand doctor" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand explain" -l pid -d 'Explain an address of this process instead of a size' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand explain" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand stats" -l format -d 'How the figures are written' -r -f -a "table\t'A table for people'
text\t'The text that `malloc_stats` prints'
json\t'A JSON object'
xml\t'The XML that `malloc_info` writes'
prom\t'Prometheus\'s text format'"
complete -c spandrel -n "__fish_spandrel_using_subcommand stats" -l json -d 'Print JSON, with the process, its threads and what is resident'
complete -c spandrel -n "__fish_spandrel_using_subcommand stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand record" -l seconds -d 'Seconds to record' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand record" -l every -d 'Seconds between two samples' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand record" -s o -l output -d 'The file to write' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand record" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand report" -s o -l output -d 'The file to write' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand report" -l json -d 'Print the figures as JSON instead of a page, in the format of `spandrel record`'
complete -c spandrel -n "__fish_spandrel_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand top" -s e -l every -d 'Seconds between two updates' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand top" -l once -d 'Print plain text once'
complete -c spandrel -n "__fish_spandrel_using_subcommand top" -l json -d 'Print JSON once'
complete -c spandrel -n "__fish_spandrel_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l listen -d 'Where to listen: ADDRESS:PORT or unix:PATH (default: 127.0.0.1:9317, or nowhere with --textfile)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l socket-mode -d 'The permissions of the socket at unix:PATH' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l textfile -d 'Write metrics to this file, which ends with .prom, for node_exporter\'s textfile collector' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l every -d 'Seconds between two updates of the file' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l heap-of -d 'Print the answer about the heap profile of this process (the server asks another process of this command)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l expose-to-network -d 'Allow an ADDRESS that other machines can reach; everyone there can then read everything'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l once -d 'Write the file once and end'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l classes -d 'Add metrics of each size class: some 1700 series for each process'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l threads -d 'Add metrics of threads: 6 series for each of the first 64 of a process'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -l no-profiles -d 'Serve no heap profiles, whose call stacks reveal much about a program'
complete -c spandrel -n "__fish_spandrel_using_subcommand serve" -s h -l help -d 'Print help'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -s o -l output -d 'Where the profile goes' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -l rate -d 'Bytes between samples, on average' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -l seconds -d 'With a process: for how long' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -l library -d 'The library to preload' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -l children -d 'Keep the profiles of its children as well, with their number before the end of the name'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -l native -d 'Keep the interpreter\'s own functions in stacks with functions of Python'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -a "show" -d 'Show the functions that requested or hold most memory'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -a "collapse" -d 'Print collapsed stacks, for flame-graph tools'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -a "flame" -d 'Make a flame graph; with --json print its boxes'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -a "diff" -d 'Show the changes between two profiles'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -l value -d 'The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -l heap -d 'Only requests in the named heap of this name ("": in the default heap)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -l rows -d 'Rows shown' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -l order -r -f -a "own\t'The memory that functions asked for themselves'
cumulative\t'That and what the functions that they called did'"
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from collapse" -l value -d 'The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from collapse" -l heap -d 'Only requests in the named heap of this name ("": in the default heap)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from collapse" -l rows -d 'Rows shown' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from collapse" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from collapse" -s h -l help -d 'Print help'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l value -d 'The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l heap -d 'Only requests in the named heap of this name ("": in the default heap)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l rows -d 'Rows shown' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -s o -l file -d 'The file to write' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l output -d 'Its kind: a page that searches and zooms, or a picture (default: by the ending of its name)' -r -f -a "html\t'A page for a browser, which searches and zooms'
svg\t'A picture without a script'"
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l title -d 'Its title' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l width -d 'The width of a picture in pixels' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l depth -d 'The most functions on top of each other in a picture' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from flame" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -l value -d 'The value to count: inuse_space, alloc_space, peak_space, or one of these with _objects' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -l heap -d 'Only requests in the named heap of this name ("": in the default heap)' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -l rows -d 'Rows shown' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -l flame -d 'Also draw a flame graph of the later profile, coloured by the changes' -r -F
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the functions that requested or hold most memory'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "collapse" -d 'Print collapsed stacks, for flame-graph tools'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "flame" -d 'Make a flame graph; with --json print its boxes'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Show the changes between two profiles'
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spandrel -n "__fish_spandrel_using_subcommand leaks" -l rows -d 'Stacks shown' -r
complete -c spandrel -n "__fish_spandrel_using_subcommand leaks" -l json -d 'Print JSON'
complete -c spandrel -n "__fish_spandrel_using_subcommand leaks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand symbolize" -l serve -r -f -a "leave\t'Leaves its parent, which is to become the program'
answer\t'Answers'"
complete -c spandrel -n "__fish_spandrel_using_subcommand symbolize" -l json -d 'Print JSON: the places alone, with their functions'
complete -c spandrel -n "__fish_spandrel_using_subcommand symbolize" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "run" -d 'Start a program under Spandrel'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "doctor" -d 'Say whether Spandrel serves a process or a program, and if not, why'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "explain" -d 'Say how a request of some size is served, or what is at an address of a process'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "stats" -d 'Show the memory statistics of a running process'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "record" -d 'Record the memory statistics of a running process over time, in a file'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "report" -d 'Make a page with pictures of a process\'s memory, or of a recording'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "top" -d 'Watch the memory of a running process, or list all processes that Spandrel serves'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "serve" -d 'Serve the figures of all processes under Spandrel to Prometheus, and their heap profiles to readers of these'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "profile" -d 'Make a heap profile of a program, or show one'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "leaks" -d 'Show which call stacks hold memory in a heap profile, or hold more in a second one'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "symbolize" -d 'Add functions, source files and lines to the call stacks that the library printed'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and not __fish_seen_subcommand_from run doctor explain stats record report top serve profile leaks symbolize help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "show" -d 'Show the functions that requested or hold most memory'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "collapse" -d 'Print collapsed stacks, for flame-graph tools'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "flame" -d 'Make a flame graph; with --json print its boxes'
complete -c spandrel -n "__fish_spandrel_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "diff" -d 'Show the changes between two profiles'
complete -c spandrel -n "__fish_spandrel_using_subcommand run" -x -a "(__fish_complete_subcommand --fcs-skip=2 --mode --profile --conf --option -o --library)"
complete -c spandrel -n "__fish_spandrel_using_subcommand doctor; and contains -- -- (commandline -opc)" -x -a "(__fish_complete_subcommand --fcs-skip=3 )"
complete -c spandrel -n "__fish_spandrel_using_subcommand profile; and not __fish_seen_subcommand_from show collapse flame diff" -x -a "(__fish_complete_subcommand --fcs-skip=2 --output -o --rate --seconds --library)"
