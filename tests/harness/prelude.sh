# Before the first command of a page (reader.rs): settings, and functions in place of programs. STEP and FAILED are put in.
#
# `step LINE STATUS` begins a command: it prints the line, and a command that fails with another status ends the shell.
exec 2>&1
export HOME=$PAGE_PLACE/home TMPDIR=$PAGE_PLACE/tmp PATH=$PAGE_PLACE/local/bin:$PATH
export LD_LIBRARY_PATH=$PAGE_PLACE/local/lib PKG_CONFIG_PATH=$PAGE_PLACE/local/lib/pkgconfig
export CMAKE_PREFIX_PATH=$PAGE_PLACE/local DEBUGINFOD_URLS= TERM=dumb
page_line=1 page_status=0 page_seen=0
step() {
    if [ "$page_status" -ne 0 ] && [ "$page_seen" -ne "$page_status" ]; then
        echo "line $page_line: no command ended with $page_status"
        exit FAILED
    fi
    page_line=$1 page_status=$2 page_seen=0
    printf 'STEP%s\n' "$1"
}
page_failed() {
    if [ "$1" -eq "$page_status" ] && [ "$1" -ne 0 ]; then
        page_seen=$1
    else
        echo "line $2: a command ended with $1"
        exit FAILED
    fi
}
trap 'page_failed $? $LINENO' ERR
sudo() { "$@"; }
ldconfig() { :; }
cargo() { printf '%s\n' "$*" >> "$PAGE_PLACE/cargo"; }
make() {
    case " $* " in
    *" install "* | *" uninstall "*)
        set -- PREFIX="$PAGE_PLACE/local" "$@" LIBDIR="$PAGE_PLACE/local/lib" DESTDIR=
        command make --assume-old=build --assume-old=library --assume-old=cli "$@" ;;
    *) command make --dry-run "$@" > /dev/null ;;
    esac
}
