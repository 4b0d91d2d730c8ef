// JSON that is large and costly to parse: many members, escapes, 30 levels.
#include "cmd/hostile/attacks/attacks.h"
#include "cmd/hostile/attacks/stock.h"

namespace dqueue::cmd {
namespace {

class BigJson : public Attack {
 public:
  void Round(Caller& caller) override {
    std::string items;
    while (items.size() < 900'000) items += "{\"\\u0061\":[[[[[[[[[[1e308]]]]]]]]]]},";
    const std::string payload = "[" + items + "0]";
    std::string jobs;
    std::string ids;
    for (int i = 0; i < 6; ++i) {
      const std::string id = caller.queue() + "-" + std::to_string(i);
      jobs += (i > 0 ? "," : "") + std::string("{\"id\":\"") + id + "\",\"queue\":\"" +
              caller.queue() + "\",\"payload\":" + payload + "}";
      ids += (i > 0 ? "," : "") + std::string("\"") + id + "\"";
    }
    caller.Http({.method = "POST", .target = "/v1/jobs", .body = "{\"jobs\":[" + jobs + "]}"});
    caller.Http({.method = "POST", .target = "/v1/jobs:delete", .body = "{\"ids\":[" + ids + "]}"});
  }
};

}  // namespace

std::unique_ptr<Attack> MakeBigJson() { return Make<BigJson>(); }

}  // namespace dqueue::cmd
