# SPDX-License-Identifier: Apache-2.0
# Of what `apt-cache show` prints, print a line for each package: name, version, and the SHA-256 that the archive's lists
# have.
/^Package: / { package = $2 }
/^Version: / { version = $2 }
/^SHA256: / { print package, version, $2 }
