// Refuses requests that pages of other sites make. Any page that a user visits can make the browser
// send requests here, under a name of the page's own (DNS rebinding) or across sites. Host and
// Origin reveal both, and no page can forge them. Other headers (Forwarded, X-Forwarded-*) are
// ignored.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "transport/http/message/http_message.h"

namespace dqueue::transport {

class HostCheck {
 public:
  // `names`: allowed hosts without port, case-insensitive, besides "localhost" and every IP
  // address.
  // "*": any host, but still no foreign Origin.
  explicit HostCheck(const std::vector<std::string>& names);

  // nullopt: allowed. Else the answer, 403 FOREIGN_HOST or FOREIGN_ORIGIN. A request without Host
  // is allowed: it is not from a browser.
  std::optional<HttpResponse> Problem(const HttpRequest& request) const;

 private:
  bool Known(const std::string& host) const;

  std::vector<std::string> names_;  // in lower case
  bool any_ = false;
};

}  // namespace dqueue::transport
