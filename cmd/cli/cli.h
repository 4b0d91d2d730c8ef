// dqueue-cli: a table of commands. Each is an object that adds its flags and runs; dispatch, help
// and completion know nothing of them but this.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flags.h"

namespace dqueue::cmd {

// What a command gets from its surroundings.
class Cli {
 public:
  client::ClientOptions client_options;
  bool json = false;              // -o json
  std::vector<std::string> args;  // after the command
  const FlagTable* flags = nullptr;

  // Made when it is first asked for: what is offline never connects.
  client::Client& client();

  // Says what went wrong and returns the exit status that belongs to it.
  int Usage(const std::string& message) const;
  int Fail(const client::Status& status, const std::string& what = "") const;

 private:
  std::unique_ptr<client::Client> client_;
};

// What the exit status is for a call that ended like this.
ExitCode ExitOf(client::Code code);
// "job not found (NOT_FOUND, JOB_NOT_FOUND)".
std::string Describe(const client::Status& status);

struct CommandText {
  std::string name;       // one word or two: "log dump"
  std::string arguments;  // "ID…"
  std::string summary;    // one line
  std::string details;    // lines; may be empty
};

class Command {
 public:
  virtual ~Command() = default;
  virtual CommandText text() const = 0;
  virtual void AddFlags(FlagTable* table) { (void)table; }
  // How many positional arguments it wants.
  virtual size_t args_min() const { return 0; }
  virtual size_t args_max() const { return 0; }
  // If not, it runs whatever is said about servers, certificates and keys.
  virtual bool asks_server() const { return true; }
  // Returns the exit status.
  virtual int Run(Cli& cli) = 0;
};

using CommandList = std::vector<std::unique_ptr<Command>>;
std::unique_ptr<Command> MakeEnqueueCommand();
void AddJobCommands(CommandList* list);      // enqueue, get, list, cancel, retry, delete, wait
void AddQueueCommands(CommandList* list);    // pause, resume, purge, dead, redrive
void AddLeaseCommands(CommandList* list);    // lease, ack, nack, extend, release
void AddClusterCommands(CommandList* list);  // stats, status, transfer, workers
void AddKeyCommands(CommandList* list);      // key create, key list, key revoke, key generate
void AddLogCommands(CommandList* list);      // log dump, log verify

int RunCli(const std::vector<std::string>& args, const Environment& environment);

}  // namespace dqueue::cmd
