// gRPC's own log lines, in this process's log.
#pragma once

namespace dqueue::transport {

// Sends gRPC's log lines to spdlog, for the whole process: at most one line in ten seconds, because
// strangers can cause them (with plain text on a TLS port, for example), and always the line before
// gRPC aborts.
void RouteGrpcLogOnce();

}  // namespace dqueue::transport
