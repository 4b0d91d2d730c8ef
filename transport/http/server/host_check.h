// Keeps the pages of other sites away. A browser can be made to send requests here by any page that
// its user visits: under a name of that page's own (DNS rebinding), or across sites. Both say so in
// Host and Origin, which no page can forge. Nothing else that a client says about itself
// (Forwarded, X-Forwarded-*) is looked at.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "transport/http/message/http_message.h"

namespace dqueue::transport {

class HostCheck {
 public:
  // `names`: hosts without a port, in any case, besides "localhost" and every IP address. "*": any
  // host, though still no foreign Origin.
  explicit HostCheck(const std::vector<std::string>& names);

  // nullopt: good. Else the answer, 403: FOREIGN_HOST or FOREIGN_ORIGIN.
  // A request without a Host is good, as browsers have sent one for decades.
  std::optional<HttpResponse> Problem(const HttpRequest& request) const;

 private:
  bool Known(const std::string& host) const;

  std::vector<std::string> names_;  // in lower case
  bool any_ = false;
};

}  // namespace dqueue::transport
