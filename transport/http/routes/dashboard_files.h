// GET / and /dashboard/{file}: the files of dashboard/, which are part of the program.
#pragma once

#include <cstddef>
#include <span>

#include "transport/http/server/router.h"

namespace dqueue::transport {

struct EmbeddedFile {
  const char* name;
  const char* etag;  // with its quotes
  const unsigned char* bytes;
  size_t size;
};
// Written when dqueue is built (cmake/embed_files.cmake).
extern const std::span<const EmbeddedFile> kEmbeddedFiles;

// Open to all: there is nothing of the cluster in them.
void AddDashboardRoutes(Router* router);

}  // namespace dqueue::transport
