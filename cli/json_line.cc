#include "cli/json_line.h"

#include <boost/json/serialize.hpp>
#include <iostream>

#include "text/json_numbers.h"

namespace cli {

void PrintJsonLine(const boost::json::value& value) {
  std::cout << text::WithPlainNumbers(boost::json::serialize(value)) << std::endl;
}

}  // namespace cli
