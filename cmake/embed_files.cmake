# Generates a C++ file with the contents of files of a folder. Run it with cmake -P and these
# variables:
#   FOLDER  the folder
#   FILES   the names of the files, separated by commas
#   HEADER  the header that the generated file includes
#   OUT     the file to write
# The generated file defines dqueue::transport::kEmbeddedFiles, in the order of FILES.
string(REPLACE "," ";" names "${FILES}")
set(arrays "")
set(rows "")
set(number 0)
foreach(name ${names})
  file(READ "${FOLDER}/${name}" hex HEX)
  file(SHA256 "${FOLDER}/${name}" digest)
  string(SUBSTRING "${digest}" 0 16 digest)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${name}\", \"\\\"${digest}\\\"\", kFile${number}, sizeof(kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUT}" "#include \"${HEADER}\"

namespace dqueue::transport {
namespace {
${arrays}
constexpr EmbeddedFile kFiles[] = {
${rows}};
}  // namespace

const std::span<const EmbeddedFile> kEmbeddedFiles = kFiles;

}  // namespace dqueue::transport
")
