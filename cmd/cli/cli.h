// dqueue-cli: a list of commands. Each command is an object with texts, flags and Run(). Dispatch,
// help and completion use this interface only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "cmd/flags/exit_code.h"
#include "cmd/flags/flags.h"

namespace dqueue::cmd {

// The context of a running command.
class Cli {
 public:
  client::ClientOptions client_options;
  bool json = false;              // -o json
  std::vector<std::string> args;  // positional arguments after the command
  const FlagTable* flags = nullptr;

  // Created by the first call, so that offline commands never connect.
  client::Client& client();

  // Prints a message on standard error.
  void Say(const std::string& message) const;
  // Prints an error and returns its exit status. `what`, an id or address, comes before the status
  // unless its message begins with it.
  int Usage(const std::string& message) const;
  int Fail(const client::Status& status, const std::string& what = "") const;

 private:
  std::unique_ptr<client::Client> client_;
};

// The exit status for a call that ended with `code`.
ExitCode ExitOf(client::Code code);
// "job not found (NOT_FOUND, JOB_NOT_FOUND)".
std::string Describe(const client::Status& status);

struct CommandText {
  std::string name;       // "enqueue", or two words: "log dump"
  std::string arguments;  // "ID…"
  std::string summary;    // one line
  std::string details;    // more lines for --help; may be empty
};

class Command {
 public:
  virtual ~Command() = default;
  virtual CommandText text() const = 0;
  virtual void AddFlags(FlagTable* table) { (void)table; }
  // The allowed number of positional arguments.
  virtual size_t args_min() const { return 0; }
  virtual size_t args_max() const { return 0; }
  // False: the command is offline, and the flags of servers, TLS and keys are not checked.
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
