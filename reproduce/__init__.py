"""The figures of "Demystifying Neural Style Transfer" (Li, Wang, Liu, Hou; IJCAI 2017), each one command.

A figure is a grid (`figures`), a grid becomes cells (`cells`), cells lie in a store (`store`), a runner does those that
are not done, each in a process of its own (`runner`, `supervisor`, `worker`), and a report shows what is there.
"""
