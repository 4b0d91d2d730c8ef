# Writes a C++ file that holds the files of a folder. Run with cmake -P and
#   FOLDER  where they are       FILES  their names, with commas
#   HEADER  to include           OUT    the file to write
# It defines dqueue::transport::kEmbeddedFiles, sorted as FILES are.
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
