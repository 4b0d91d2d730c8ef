#include "cmd/flags/completion.h"

#include <map>

namespace dqueue::cmd {
namespace {

std::string Function(const std::string& program) {
  std::string name = "_";
  for (char c : program) name += c == '-' ? '_' : c;
  return name;
}

}  // namespace

std::string BashCompletion(const std::string& program,
                           const std::vector<CompletionEntry>& commands) {
  std::string first_words;
  std::map<std::string, std::string> second_words;
  std::string flag_cases;
  // By flag. A flag has the same choices in every command.
  std::map<std::string, std::string> choices;
  for (const CompletionEntry& command : commands) {
    const size_t space = command.name.find(' ');
    const std::string first = command.name.substr(0, space);
    if (space == std::string::npos || !second_words.contains(first)) first_words += " " + first;
    if (space != std::string::npos) second_words[first] += " " + command.name.substr(space + 1);
    std::string flags = " --help";
    for (const Flag& flag : command.flags) {
      flags += " --" + flag.name;
      if (flag.boolean) continue;
      std::string values;
      for (const std::string& choice : flag.choices) values += " " + choice;
      if (!values.empty()) {
        choices["--" + flag.name] = values;
        if (!flag.short_name.empty()) choices["-" + flag.short_name] = values;
      }
    }
    flag_cases += "    '" + command.name + "') flags='" + flags.substr(1) + "' ;;\n";
  }
  std::string second_cases;
  for (const auto& [first, seconds] : second_words) {
    second_cases += "    '" + first + "') words='" + seconds.substr(1) + "' ;;\n";
  }
  std::string choice_cases;
  for (const auto& [flag, values] : choices) {
    choice_cases += "    " + flag + ") mapfile -t COMPREPLY < <(compgen -W '" + values.substr(1) +
                    "' -- \"$current\"); return ;;\n";
  }
  const std::string function = Function(program);
  return "# bash completion for " + program + ": source <(" + program + " completion bash)\n" +
         function +
         "() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local command='' words='' flags='' word\n"
         "  COMPREPLY=()\n"
         "  case $previous in\n" +
         choice_cases +
         "  esac\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    [[ $word == -* ]] && continue\n"
         "    command=\"${command:+$command }$word\"\n"
         "  done\n"
         "  case $command in\n"
         "    '') words='" +
         (first_words.empty() ? "" : first_words.substr(1)) + "' ;;\n" + second_cases +
         "  esac\n"
         "  case $command in\n" +
         flag_cases +
         "  esac\n"
         "  if [[ $current == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n"
         "  elif [[ -n $words ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  else\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "  fi\n"
         "}\n"
         "complete -F " +
         function + " " + program + "\n";
}

}  // namespace dqueue::cmd
