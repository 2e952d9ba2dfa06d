// What duet-train does besides training on data: `duet-train compare | demo | evaluate |
// scenes`.
#ifndef DUET_TRAINER_COMMANDS_H_
#define DUET_TRAINER_COMMANDS_H_

namespace trainer {

// `argv[1]` is the command's name. The exit code: 0, 1 for what went wrong, 2 for what was asked
// wrongly, with one line on stderr.
int RunCommand(int argc, const char* const* argv);

}  // namespace trainer

#endif  // DUET_TRAINER_COMMANDS_H_
