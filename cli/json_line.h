// What a command prints with --json.
#ifndef DUET_CLI_JSON_LINE_H_
#define DUET_CLI_JSON_LINE_H_

#include <boost/json/value.hpp>

namespace cli {

// Prints it to stdout in a line of its own, at once, with numbers as people write them.
void PrintJsonLine(const boost::json::value& value);

}  // namespace cli

#endif  // DUET_CLI_JSON_LINE_H_
