/* SPDX-License-Identifier: MIT */
/* base/list.h - doubly linked lists are liburcu's (cds_list_*), header only. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <urcu/list.h>

#endif
