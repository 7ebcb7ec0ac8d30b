# Read by the recipes of guests that are made of Debian's packages. They are downloaded and unpacked, not installed.

# "linux-image-6.1.0-N-cloud-amd64=6.1.M-1": what the meta package stands for
kernel_package() {
    found=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: \([^ ]*\) (= \(.*\))$/\1=\2/p')
    [ -n "$found" ] || { echo "no package linux-image-cloud-amd64 is known: run apt-get update" >&2; exit 1; }
    echo "$found"
}

# `download DIR PACKAGE=VERSION...`: their files in DIR
download() (
    cd "$1"
    shift
    apt-get -qq -o APT::Sandbox::User=root download "$@"
)
