/* SPDX-License-Identifier: ISC
 *
 * The functions of the door, where they are not inline: in the build that tests/checks/door looks at. In any other
 * build this is empty.
 */
#define LOOP_KERNEL_DEFINES
#include <loop/kernel/all.h>
