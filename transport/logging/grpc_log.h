// What gRPC itself has to say, in our log.
#pragma once

namespace dqueue::transport {

// From now on, for the whole process: at most one of its lines in ten seconds (strangers can cause
// them, with connections that are no TLS, for example), but always what it says before it aborts.
void RouteGrpcLogOnce();

}  // namespace dqueue::transport
