// dqueue-cli key: API keys.
#include <cstdio>
#include <utility>

#include "absl/strings/str_join.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/job_output.h"
#include "cmd/flags/text_output.h"
#include "transport/keys/secret_key.h"

namespace dqueue::cmd {
namespace {

class KeyCreateCommand : public Command {
 public:
  CommandText text() const override {
    return {
        "key create", "", "create an API key",
        "  dqueue-cli key create --name ci --owner build-team --type client\n"
        "  dqueue-cli key create --name mailer --owner mail --type worker --queues "
        "'mail,mail-*'\n\n"
        "Prints the key on standard output. It cannot be shown again: the cluster keeps only its\n"
        "digest.\n"};
  }
  void AddFlags(FlagTable* table) override {
    table->Text("name", &options_.name, "NAME", "purpose of the key (required)");
    table->Text("owner", &options_.owner_id, "OWNER",
                "owner, whose keys may list and revoke it (required)");
    table->Choice("type", &type_, {"client", "worker", "admin"},
                  "type, which gives the key its scopes");
    table->List("scopes", &options_.scopes, "SCOPE,…", "scopes, instead of those of the type");
    table->List("queues", &options_.queues, "QUEUE,…",
                "queues it may use: names, or prefixes followed by *; none: all");
  }
  int Run(Cli& cli) override {
    if (options_.name.empty()) return cli.Usage("--name is required: the purpose of the key");
    if (options_.owner_id.empty()) return cli.Usage("--owner is required: the owner of the key");
    options_.type = *client::ParseKeyType(type_);
    const client::Result<client::NewApiKey> made = cli.client().CreateKey(options_);
    if (made.status.code == client::Code::kUnknownOutcome) {
      return cli.Fail(made.status, "a key may have been made: see dqueue-cli key list, revoke it");
    }
    if (!made.ok()) return cli.Fail(made.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().Text("key", made.value.secret);
      WriteApiKey(made.value.key, &json);
      std::puts(json.EndObject().Take().c_str());
    } else {
      std::puts(EscapedForText(made.value.secret).c_str());
      cli.Say("made " + made.value.key.id + " for " + Quoted(made.value.key.owner_id) +
              "; it is not shown again");
    }
    return kExitOk;
  }

 private:
  client::KeyOptions options_;
  std::string type_ = "client";
};

class KeyListCommand : public Command {
 public:
  CommandText text() const override {
    return {"key list", "", "list the API keys of the caller's owner; with an admin key, all keys",
            ""};
  }
  void AddFlags(FlagTable* table) override {
    table->Bool("revoked", &revoked_, "include revoked keys");
  }
  int Run(Cli& cli) override {
    const client::Result<std::vector<client::ApiKey>> keys = cli.client().ListKeys(revoked_);
    if (!keys.ok()) return cli.Fail(keys.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject().BeginArray("keys");
      for (const client::ApiKey& key : keys.value) {
        json.BeginObject();
        WriteApiKey(key, &json);
        json.EndObject();
      }
      std::puts(json.EndArray().EndObject().Take().c_str());
      return kExitOk;
    }
    TextTable table({"ID", "NAME", "OWNER", "TYPE", "QUEUES", "CREATED", "LAST USED", "REVOKED"});
    for (const client::ApiKey& key : keys.value) {
      table.Row({key.id, key.name, key.owner_id, std::string(client::KeyTypeName(key.type)),
                 key.queues.empty() ? "all" : absl::StrJoin(key.queues, ","),
                 TimeText(key.create_time), TimeText(key.last_use_time),
                 TimeText(key.revoke_time)});
    }
    std::fputs(table.ToString().c_str(), stdout);
    return kExitOk;
  }

 private:
  bool revoked_ = false;
};

class KeyRevokeCommand : public Command {
 public:
  CommandText text() const override {
    return {"key revoke", "ID", "revoke an API key permanently",
            "ID is the part of the key before its secret, as key list prints it.\n"};
  }
  size_t args_min() const override { return 1; }
  size_t args_max() const override { return 1; }
  int Run(Cli& cli) override {
    const client::Result<client::ApiKey> revoked = cli.client().RevokeKey(cli.args[0]);
    if (!revoked.ok()) return cli.Fail(revoked.status);
    if (cli.json) {
      JsonWriter json;
      json.BeginObject();
      WriteApiKey(revoked.value, &json);
      std::puts(json.EndObject().Take().c_str());
    } else {
      std::printf("%s revoked\n", EscapedForText(revoked.value.id).c_str());
    }
    return kExitOk;
  }
};

class KeyGenerateCommand : public Command {
 public:
  CommandText text() const override {
    return {"key generate", "", "print a new admin key for --admin-key-file, offline",
            "  (umask 077; dqueue-cli key generate > admin.key)\n"
            "  dqueue --admin-key-file admin.key …\n"};
  }
  bool asks_server() const override { return false; }
  int Run(Cli&) override {
    std::puts(transport::MakeSecretKey(v1::KEY_TYPE_ADMIN).secret.c_str());
    return kExitOk;
  }
};

}  // namespace

void AddKeyCommands(CommandList* list) {
  list->push_back(std::make_unique<KeyCreateCommand>());
  list->push_back(std::make_unique<KeyListCommand>());
  list->push_back(std::make_unique<KeyRevokeCommand>());
  list->push_back(std::make_unique<KeyGenerateCommand>());
}

}  // namespace dqueue::cmd
